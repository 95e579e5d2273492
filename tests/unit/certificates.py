"""Certificates for tests of TLS: an authority, and a server's and a client's of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def make_certificates(folder: Path) -> str:
    """Files ca.pem, server.pem, server.key, client.pem, client.key in `folder`, for 127.0.0.1."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("no openssl on PATH: install it (Debian: apt-get install openssl)")
        pytest.skip("OPENSSL MISSING, TLS NOT TESTED")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca",
        "-days", "2",
    )  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(
            "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return str(folder)
