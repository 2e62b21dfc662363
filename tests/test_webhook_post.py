import socket
import threading
import time
from base64 import b64encode
from email.utils import formatdate
from pathlib import Path

import pytest
from webhook_receiver import SECRET, Receiver, Reply

from footfall.errors import UsageError
from footfall.webhook_post import Answer, WebhookPost, WebhookTarget, open_target
from footfall.webhook_signature import verify_webhook


def post(receiver: Receiver, body: bytes = b"{}", url: str = "", timeout: float = 5.0) -> Answer:
    sender = WebhookPost(WebhookTarget(url or receiver.url, SECRET, timeout=timeout))
    try:
        return sender.post("t1", 3, body, int(time.time()))
    finally:
        sender.close()


def test_a_message_comes_whole_and_signed() -> None:
    body = '{"visitor_id":"Zoë"}'.encode()
    with Receiver() as receiver:
        assert post(receiver, body) == Answer("delivered")
    (request,) = receiver.requests
    assert request.body == body
    assert request.id == ("t1", 3)
    assert request.headers["Content-Type"] == "application/json"
    verify_webhook(SECRET, request.headers, request.body)


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (301, "refused"),
        (307, "refused"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (408, "later"),
        (410, "refused"),
        (422, "refused"),
        (425, "later"),
        (429, "away"),
        (500, "later"),
        (501, "later"),
        (502, "away"),
        (503, "away"),
        (504, "away"),
        (599, "later"),
    ],
)
def test_what_a_status_means(status: int, fate: str) -> None:
    reply = Reply(status, {"Location": "/other"} if status < 400 else {})
    with Receiver(lambda _: reply) as receiver:
        answer = post(receiver)
    assert answer.fate == fate
    assert len(receiver.requests) == 1
    assert fate == "delivered" or f"answer {status}" in answer.detail


def test_what_the_receiver_says_is_kept_in_short() -> None:
    with Receiver(lambda _: Reply(400, body=b"no such campaign " + b"x" * 100_000)) as receiver:
        answer = post(receiver)
    assert answer.detail.startswith("answer 400: no such campaign xxx")
    assert len(answer.detail) < 400


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999", 3600, 3600),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("9" * 5000, 0, 3600),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 500])
def test_retry_after_is_honoured(header: str, least: float, most: float, status: int) -> None:
    with Receiver(lambda _: Reply(status, {"Retry-After": header})) as receiver:
        assert least <= post(receiver).retry_after <= most


@pytest.mark.parametrize(("ahead", "least", "most"), [(1800, 1700, 1800), (-1800, 0, 0)])
def test_a_time_to_come_back_at_is_honoured(ahead: int, least: float, most: float) -> None:
    header = formatdate(time.time() + ahead, usegmt=True)
    with Receiver(lambda _: Reply(503, {"Retry-After": header})) as receiver:
        assert least <= post(receiver).retry_after <= most


def test_a_receiver_that_does_not_listen_is_away() -> None:
    receiver = Receiver()
    receiver.start()
    receiver.stop()
    answer = post(receiver)
    assert answer.fate == "away"
    assert "refused" in answer.detail


def test_a_name_that_nobody_has_is_away() -> None:
    answer = post(Receiver(), url="http://nobody.invalid/hook")
    assert answer.fate == "away"
    assert answer.detail.startswith("no connection: ")


def test_a_receiver_without_tls_is_away() -> None:
    with Receiver() as receiver:
        answer = post(receiver, url=receiver.url.replace("http", "https"))
    assert answer.fate == "away"


def test_a_receiver_that_hangs_is_asked_later() -> None:
    with Receiver(lambda _: Reply(after=1.0)) as receiver:
        began = time.monotonic()
        answer = post(receiver, timeout=0.2)
        assert time.monotonic() - began < 0.9
    assert answer.fate == "later"
    assert "timed out" in answer.detail.lower()


def test_a_connection_that_breaks_is_tried_later() -> None:
    with Receiver(lambda _: Reply(0)) as receiver:
        assert post(receiver).fate == "later"


def test_a_status_stands_though_the_answer_breaks_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = Receiver(port=server.getsockname()[1])

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=serve)
        thread.start()
        assert post(receiver) == Answer("delivered")
        thread.join()


def test_login_path_and_query_are_sent_and_never_shown() -> None:
    with Receiver() as receiver:
        url = f"http://ann:pass%20word@127.0.0.1:{receiver.port}/hook?token=hush#part"
        target = WebhookTarget(url, SECRET)
        post(receiver, url=url)
    (request,) = receiver.requests
    assert request.path == "/hook?token=hush"
    assert request.headers["authorization"] == "Basic " + b64encode(b"ann:pass word").decode()
    assert target.shown == f"http://127.0.0.1:{receiver.port}/…"
    assert WebhookTarget("https://host?token=hush", SECRET).shown == "https://host/"
    for hidden in (SECRET.decode(), "ann", "word", "hook", "hush"):
        assert hidden not in repr(target).removeprefix("WebhookTarget")


@pytest.mark.parametrize("url", ["", "ftp://host/x", "http://", "host/path", "http://[::1/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="write https://HOST/PATH"):
        WebhookTarget(url, SECRET)


def test_a_webhook_needs_a_secret(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--webhook-secret FILE"):
        open_target("https://host/", None)
    (tmp_path / "secret").write_bytes(SECRET)
    assert open_target("https://host/", tmp_path / "secret").secret == SECRET
