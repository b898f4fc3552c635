;; The frame of a policy that exports `on-request`: what its component is made of by the contract. DECLARES and HOOK are the
;; test's; a hook may use $exchange, the local $n and the imports of the module.
(component
  (import "portcullis:policy/http@0.1.0" (instance $http
    (export "exchange" (type (sub resource)))
    (type $fields' (list (tuple string (list u8))))
    (export "fields" (type $fields (eq $fields')))
    (type $local' (record (field "status" u16) (field "headers" $fields) (field "body" (list u8))))
    (export "local-response" (type (eq $local')))))
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $inner (eq $outer)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $inner))))))
  (core module $module
    (import "host" "drop-exchange" (func $drop_exchange (param i32)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "drop-pollable" (func $drop_pollable (param i32)))
    (memory (export "memory") 1)
    ;; A manifest without schema at 16, its texts at 0; zeros at 64, which are `ok` and `next`.
    (data (i32.const 0) "guest")
    (data (i32.const 16) "\00\00\00\00\05\00\00\00\00\00\00\00\05\00\00\00\00\00\00\00\05\00\00\00")
    ;; Only the config comes through it.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "describe") (result i32) (i32.const 16))
    (func (export "configure") (param i32 i32) (result i32) (i32.const 64))
    DECLARES
    (func (export "on-request") (param $exchange i32) (result i32)
      (local $n i32)
      HOOK
      (call $drop_exchange (local.get $exchange))
      (i32.const 64)))
  (alias export $http "exchange" (type $exchange))
  (alias export $http "fields" (type $fields))
  (alias export $http "local-response" (type $local))
  (core func $drop_exchange (canon resource.drop $exchange))
  (core func $now (canon lower (func $clock "now")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $drop_pollable (canon resource.drop $pollable))
  (core instance $main (instantiate $module (with "host" (instance
    (export "drop-exchange" (func $drop_exchange))
    (export "now" (func $now))
    (export "subscribe" (func $subscribe))
    (export "drop-pollable" (func $drop_pollable))))))
  (alias core export $main "memory" (core memory $memory))

  (type $manifest (record
    (field "name" string) (field "version" string) (field "description" string)
    (field "config-schema" (option string)) (field "annotations" (list (tuple string string)))))
  (type $problem (record (field "path" string) (field "message" string)))
  (func $describe (result $manifest) (canon lift (core func $main "describe") (memory $memory)))
  (func $configure (param "config" string) (result (result (error (list $problem))))
    (canon lift (core func $main "configure") (memory $memory) (realloc (func $main "realloc"))))
  (component $lifecycle
    (type $manifest' (record
      (field "name" string) (field "version" string) (field "description" string)
      (field "config-schema" (option string)) (field "annotations" (list (tuple string string)))))
    (import "manifest" (type $manifest (eq $manifest')))
    (type $problem' (record (field "path" string) (field "message" string)))
    (import "problem" (type $problem (eq $problem')))
    (import "describe" (func $describe (result $manifest)))
    (import "configure" (func $configure (param "config" string) (result (result (error (list $problem))))))
    (export $manifest_out "manifest" (type $manifest))
    (export $problem_out "config-problem" (type $problem))
    (export "describe" (func $describe) (func (result $manifest_out)))
    (export "configure" (func $configure)
      (func (param "config" string) (result (result (error (list $problem_out)))))))
  (instance $lifecycle (instantiate $lifecycle
    (with "manifest" (type $manifest)) (with "problem" (type $problem))
    (with "describe" (func $describe)) (with "configure" (func $configure))))
  (export "portcullis:policy/lifecycle@0.1.0" (instance $lifecycle))

  (type $verdict (variant (case "next") (case "respond" $local)))
  (func $on_request (param "ex" (borrow $exchange)) (result (result $verdict (error string)))
    (canon lift (core func $main "on-request") (memory $memory)))
  (component $hook
    (import "exchange" (type $exchange (sub resource)))
    (type $fields' (list (tuple string (list u8))))
    (import "fields" (type $fields (eq $fields')))
    (type $local' (record (field "status" u16) (field "headers" $fields) (field "body" (list u8))))
    (import "local-response" (type $local (eq $local')))
    (type $verdict' (variant (case "next") (case "respond" $local)))
    (import "verdict" (type $verdict (eq $verdict')))
    (import "on-request" (func $on_request
      (param "ex" (borrow $exchange)) (result (result $verdict (error string)))))
    (export $exchange_out "exchange" (type $exchange))
    (export $local_out "local-response" (type $local))
    (type $verdict_out' (variant (case "next") (case "respond" $local_out)))
    (export $verdict_out "verdict" (type $verdict_out'))
    (export "on-request" (func $on_request)
      (func (param "ex" (borrow $exchange_out)) (result (result $verdict_out (error string))))))
  (instance $hook (instantiate $hook
    (with "exchange" (type $exchange)) (with "fields" (type $fields))
    (with "local-response" (type $local)) (with "verdict" (type $verdict))
    (with "on-request" (func $on_request))))
  (export "portcullis:policy/on-request@0.1.0" (instance $hook)))
