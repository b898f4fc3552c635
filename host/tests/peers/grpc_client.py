"""A gRPC client by grpcio: `grpc_client.py CASE HOST:PORT [CA]`. Prints `ok` if all was well."""

import queue
import sys

import grpc

DEADLINE = 20
OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
]


def method(name, kind="unary_unary"):
    return getattr(channel, kind)(f"/peers.Test/{name}")


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it succeeds")


def expect(call, code, details):
    error = error_of(call)
    assert (error.code(), error.details()) == (code, details), error
    return error


def call_echo():
    return method("Echo")(b"hello", timeout=DEADLINE)


def unary():
    metadata = (("x-asked", "first"), ("x-asked-bin", b"\x00\xff"))
    answer, call = method("Echo").with_call(b"hello", timeout=DEADLINE, metadata=metadata)
    assert answer == b"hello"
    assert ("x-first", "first") in call.initial_metadata(), call.initial_metadata()
    trailing = dict(call.trailing_metadata())
    assert (trailing["x-last"], trailing["x-last-bin"]) == ("trailer", b"\x00\xff\x80"), trailing
    assert method("Echo")(b"", timeout=DEADLINE) == b""


def compressed():
    echo = method("Echo")
    message = b"abc" * 100_000
    assert echo(message, timeout=DEADLINE, compression=grpc.Compression.Gzip) == message


def streams():
    parts = (b"x" * 1000 for _ in range(500))
    assert method("Total", "stream_unary")(parts, timeout=DEADLINE) == b"500000"
    assert method("Total", "stream_unary")(iter(()), timeout=DEADLINE) == b"0"
    numbers = list(method("Count", "unary_stream")(b"500", timeout=DEADLINE))
    assert numbers == [str(number).encode() for number in range(500)]
    assert list(method("Count", "unary_stream")(b"0", timeout=DEADLINE)) == []


def ping_pong():
    """Each request is sent only when the one before has been answered."""
    requests = queue.Queue()
    answers = method("Chat", "stream_stream")(iter(requests.get, None), timeout=DEADLINE)
    for number in range(100):
        requests.put(str(number).encode())
        assert next(answers) == b"re: " + str(number).encode()
    requests.put(None)
    assert list(answers) == []
    assert answers.code() == grpc.StatusCode.OK


def large():
    message = bytes(range(256)) * (3 << 12)
    assert len(message) == 3 << 20
    assert method("Echo")(message, timeout=DEADLINE) == message
    answers = method("Chat", "stream_stream")(iter([message] * 4), timeout=DEADLINE)
    assert list(answers) == [b"re: " + message] * 4


def slow_reader():
    """A stream that nobody reads holds up no other call, and is whole in the end."""
    answers = method("Download", "unary_stream")(b"40", timeout=DEADLINE)
    first = next(answers)
    for _ in range(20):
        assert call_echo() == b"hello"
    assert first == bytes(1 << 20)
    assert sum(len(answer) for answer in answers) == 39 << 20


def many():
    calls = [method("Echo").future(str(n).encode(), timeout=DEADLINE) for n in range(200)]
    assert [call.result() for call in calls] == [str(n).encode() for n in range(200)]


def statuses():
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            number = str(code.value[0]).encode()
            calls = [
                lambda: method("Fail")(number, timeout=DEADLINE),
                lambda: list(method("FailLate", "unary_stream")(number, timeout=DEADLINE)),
            ]
            for call in calls:
                error = expect(call, code, "grüße: 100 %\nof it")
                trailing = dict(error.trailing_metadata())
                assert (trailing["x-why"], trailing["x-why-bin"]) == ("because", b"\x01\xfe"), trailing
    expect(lambda: method("Nothing")(b"", timeout=DEADLINE), grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def was_cancelled():
    assert method("WasCancelled")(b"", timeout=DEADLINE) == b"yes"


def deadline():
    answers = method("Hang", "unary_stream")(b"speak", timeout=2)
    # The service knows the client's deadline.
    assert 0 < float(next(answers)) <= 2
    assert error_of(lambda: next(answers)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    was_cancelled()
    answers = method("Hang", "unary_stream")(b"", timeout=1)
    assert error_of(lambda: next(answers)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    was_cancelled()


def cancel():
    answers = method("Hang", "unary_stream")(b"speak", timeout=DEADLINE)
    next(answers)
    answers.cancel()
    was_cancelled()


def service_dies():
    answers = method("End", "unary_stream")(b"", timeout=DEADLINE)
    assert next(answers) == b"first"
    # Its answer may come before the end, or not.
    method("ReadyToEnd").future(b"", timeout=DEADLINE).exception()
    error = error_of(lambda: list(answers))
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), error


def no_route():
    expect(call_echo, grpc.StatusCode.UNIMPLEMENTED, "no-route")


def unreachable():
    expect(call_echo, grpc.StatusCode.UNAVAILABLE, "upstream-connect-refused")


def route_deadline():
    answers = method("Hang", "unary_stream")(b"", timeout=DEADLINE)
    expect(lambda: next(answers), grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded")
    was_cancelled()


def limited():
    assert call_echo() == b"hello"
    assert error_of(call_echo).code() == grpc.StatusCode.UNAVAILABLE


def guarded():
    assert error_of(call_echo).code() == grpc.StatusCode.UNAUTHENTICATED
    requests = iter([b"one", b"two"])
    metadata = (("x-key", "1"),)
    answers = method("Chat", "stream_stream")(requests, timeout=DEADLINE, metadata=metadata)
    assert list(answers) == [b"re: one", b"re: two"]


case, address, *ca = sys.argv[1:]
if ca:
    with open(ca[0], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(address, credentials, OPTIONS)
else:
    channel = grpc.insecure_channel(address, OPTIONS)
globals()[case]()
print("ok")
