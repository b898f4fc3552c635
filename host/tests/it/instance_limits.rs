//! What an instance may have at most beside memory: elements of tables, handles, calls of WASI.

use http::Method;

use crate::policy_config::faults;
use crate::support::TestGateway;
use crate::support::metric;
use crate::support::text_guest::TextGuest;

/// Grows its table to 19,001 elements; traps if it must not.
const TABLES: TextGuest = TextGuest {
    declares: "(table $t 1 funcref)",
    hook: "(if (i32.eq (table.grow $t (ref.null func) (i32.const 19000)) (i32.const -1)) (then unreachable))",
};

/// The same, but goes on without.
const MODEST: TextGuest = TextGuest {
    declares: "(table $t 1 funcref)",
    hook: "(drop (table.grow $t (ref.null func) (i32.const 100000)))",
};

/// A table that is large from the start.
const LARGE: TextGuest = TextGuest {
    declares: "(table $t 500 funcref)",
    hook: "",
};

/// Takes 40 handles for good.
const HOARDER: TextGuest = TextGuest {
    declares: "",
    hook: "(loop $again
      (drop (call $subscribe (i64.const 1000000000)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 40))))",
};

/// Takes 20,000 handles, each of which it gives back.
const CHURNER: TextGuest = TextGuest {
    declares: "",
    hook: "(loop $again
      (call $drop_pollable (call $subscribe (i64.const 1000000000)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 20000))))",
};

/// Asks WASI for the time for ever.
const WASI_LOOP: TextGuest = TextGuest {
    declares: "",
    hook: "(loop $again (drop (call $now)) (br $again))",
};

/// Asks it 30 times.
const WASI_SOME: TextGuest = TextGuest {
    declares: "",
    hook: "(loop $again
      (drop (call $now))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 30))))",
};

struct Served {
    gateway: TestGateway,
    _folder: tempfile::TempDir,
}

fn config(guest: &TextGuest, terms: &str, limits: &str) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = guest.write(folder.path());
    let text = format!(
        "
policies: {{ guest: {{ component: 'file:{}', {terms} limits: {{ time: 10s, {limits} }} }} }}
routes: [{{ name: r, respond: {{ status: 204 }}, policies: [{{ use: guest, on_failure: closed, config: {{}} }}] }}]
",
        file.display()
    );
    (text, folder)
}

async fn serve(guest: &TextGuest, terms: &str, limits: &str) -> Served {
    let (text, folder) = config(guest, terms, limits);
    Served {
        gateway: TestGateway::start(&text).await,
        _folder: folder,
    }
}

impl Served {
    async fn status(&self) -> u16 {
        let mut client = self.gateway.client().await;
        let answer = client.send(Method::GET, "/", &[], "").await;
        answer.status.as_u16()
    }

    async fn refused(&self, limit: &str) -> f64 {
        let labels = [("portcullis_policy", "guest"), ("portcullis_limit", limit)];
        let name = "portcullis_policy_limit_refused_total";
        metric(&self.gateway.metrics().await, name, &labels)
    }

    /// Faults of the kind `limit`.
    async fn faults(&self) -> u64 {
        let page = self.gateway.metrics().await;
        faults(&page, "guest", "r", "on-response", "limit")
    }
}

#[tokio::test]
async fn a_guest_that_wants_more_of_its_tables_than_it_may_have_is_ended() {
    let served = serve(&TABLES, "", "").await;
    assert_eq!(served.status().await, 204);
    let served = serve(&TABLES, "", "table_elements: 19000").await;
    assert_eq!((served.status().await, served.faults().await), (503, 1));
    assert_eq!(served.refused("table_elements").await, 1.0);
}

#[tokio::test]
async fn one_that_can_do_without_goes_on_and_it_is_counted() {
    let served = serve(&MODEST, "", "").await;
    assert_eq!((served.status().await, served.faults().await), (204, 0));
    assert_eq!(served.refused("table_elements").await, 1.0);
}

#[tokio::test]
async fn one_whose_tables_do_not_fit_is_refused_at_load() {
    let (text, _folder) = config(&LARGE, "", "table_elements: 499");
    let refusal = TestGateway::refusal(&text).await;
    let words =
        "needs a table of 500 elements from the start, limits.table_elements is 499; raise it";
    assert!(refusal.contains(words), "{refusal}");
    let served = serve(&LARGE, "", "table_elements: 600").await;
    assert_eq!(served.status().await, 204);
}

#[tokio::test]
async fn handles_that_are_kept_are_bounded() {
    let served = serve(&HOARDER, "", "").await;
    assert_eq!(served.status().await, 204);
    let served = serve(&HOARDER, "", "handles: 30").await;
    assert_eq!((served.status().await, served.faults().await), (503, 1));
    assert_eq!(served.refused("handles").await, 1.0);
}

#[tokio::test]
async fn an_instance_that_hoards_handles_over_its_calls_is_ended_and_another_serves() {
    let served = serve(&HOARDER, "isolation: pooled,", "handles: 100").await;
    let statuses = [(); 6].map(|()| served.status());
    let mut found = Vec::new();
    for status in statuses {
        found.push(status.await);
    }
    assert_eq!(found, [204, 204, 503, 204, 204, 503]);
    assert_eq!(served.faults().await, 2);
}

#[tokio::test]
async fn handles_that_are_given_back_are_not_counted() {
    let served = serve(&CHURNER, "", "host_calls: 100000").await;
    assert_eq!((served.status().await, served.faults().await), (204, 0));
}

#[tokio::test]
async fn calls_of_wasi_count_as_calls_of_the_host() {
    let served = serve(&WASI_LOOP, "", "").await;
    assert_eq!((served.status().await, served.faults().await), (503, 1));
    assert_eq!(served.refused("host_calls").await, 1.0);
    for (allowed, status) in [(29, 503), (30, 204)] {
        let served = serve(&WASI_SOME, "", &format!("host_calls: {allowed}")).await;
        assert_eq!(served.status().await, status, "{allowed}");
    }
}
