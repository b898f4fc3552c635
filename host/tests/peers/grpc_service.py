"""A gRPC service by grpcio, with bytes as messages: `grpc_service.py [CERTIFICATE KEY]`."""

import os
import sys
import threading
from concurrent import futures

import grpc

LIMITS = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
cancelled = threading.Semaphore(0)


def echo(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-first", metadata.get("x-asked", "")),))
    context.set_trailing_metadata((("x-last", "trailer"), ("x-last-bin", b"\x00\xff\x80")))
    return request


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def download(request, context):
    message = bytes(1 << 20)
    for _ in range(int(request)):
        yield message


def chat(requests, context):
    for request in requests:
        yield b"re: " + request


def fail(request, context):
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    context.set_trailing_metadata((("x-why", "because"), ("x-why-bin", b"\x01\xfe")))
    context.abort(code, "grüße: 100 %\nof it")


def fail_late(request, context):
    yield b"one"
    yield b"two"
    fail(request, context)


def hang(request, context):
    """Tells its deadline if asked to, and answers no more."""
    gone = threading.Event()

    def ended():
        gone.set()
        cancelled.release()

    if not context.add_callback(ended):
        return ended()
    if request == b"speak":
        yield f"{context.time_remaining()}".encode()
    gone.wait()


def was_cancelled(request, context):
    """Answers once one more call of `hang` has been cancelled."""
    return b"yes" if cancelled.acquire(timeout=context.time_remaining()) else b"no"


def end(request, context):
    """Waits until the client has read `first`, and ends without a word."""
    yield b"first"
    if cancelled.acquire(timeout=20):
        os._exit(1)


def ready_to_end(request, context):
    cancelled.release()
    return b""


methods = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "End": grpc.unary_stream_rpc_method_handler(end),
    "ReadyToEnd": grpc.unary_unary_rpc_method_handler(ready_to_end),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=20), options=LIMITS)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peers.Test", methods),))
if len(sys.argv) == 3:
    certificate, key = (open(path, "rb").read() for path in sys.argv[1:])
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port}", flush=True)
server.wait_for_termination()
