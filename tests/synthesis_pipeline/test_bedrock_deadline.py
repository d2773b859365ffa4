"""Deadlines over TLS, as they are against AWS."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback.fixture import LoopbackBedrock, aimed_at
from test_bedrock_client import REQUEST

from finrag_eval.errors import ModelFault
from finrag_eval.synthesis_pipeline.bedrock import BedrockClient
from finrag_eval.synthesis_pipeline.bedrock.deadline import Watchdog


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackBedrock]:
    files = certificate(tmp_path_factory.mktemp("tls"))
    server = LoopbackBedrock(files)
    server.env["AWS_CA_BUNDLE"] = str(files[0])
    yield server
    server.stop()


@pytest.fixture
def tls_bedrock(tls_server: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch) -> LoopbackBedrock:
    return aimed_at(tls_server, monkeypatch)


def test_a_dripping_answer_is_cut_over_tls_too(tls_bedrock: LoopbackBedrock) -> None:
    client = BedrockClient(attempt_timeout_s=5.0)
    assert client.converse(REQUEST, timeout_s=5.0).stop_reason == "end_turn"
    for fate in ("drip", "drip_headers", "hang"):
        tls_bedrock.programme(scripts=[{"faults": [fate]}], drip_s=0.05)
        began = time.monotonic()
        with pytest.raises(ModelFault) as caught:
            client.converse(REQUEST, timeout_s=5.0, deadline=began + 0.4)
        assert caught.value.error_type == "TrialTimeout"
        assert time.monotonic() - began < 4, "the whole answer would take more than 15 s"
        assert client.converse(REQUEST, timeout_s=5.0).stop_reason == "end_turn"


def test_a_certificate_that_is_not_trusted_stops_the_model(
    tls_bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(ModelFault) as caught:
        BedrockClient().converse(REQUEST, timeout_s=5.0)
    assert (caught.value.error_type, caught.value.retry) == ("SSLError", "stop_model")
    assert not caught.value.may_be_billed


def test_a_handshake_that_breaks_off_is_tried_again(
    tls_bedrock: LoopbackBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        hang_up = threading.Thread(target=lambda: listener.accept()[0].close())
        hang_up.start()
        with pytest.raises(ModelFault) as caught:
            BedrockClient().converse(REQUEST, timeout_s=5.0)
        hang_up.join()
    assert caught.value.retry == "transient"


def test_the_watchdog_forgets_calls_that_ended() -> None:
    dog = Watchdog()
    with dog.watching(time.monotonic() + 60) as call:
        assert dog.current() is call
    assert dog.current() is None
    with dog.watching(None) as call:
        assert call is None
