"""TLS contexts of listeners and of our own clients, made from settings."""

import ssl

from idgen.errors import BadRequest
from ops.config_settings import Access, ListenTls


def server_context(settings: ListenTls) -> ssl.SSLContext | None:
    """What listeners speak: TLS 1.2 or newer, with client certificates if an authority for them
    is set; None without a certificate. Raises BadRequest for files that cannot be used."""
    if not settings.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, settings.cert, settings.key, "listen_tls")
    if settings.client_ca:
        _load_trusted(context, settings.client_ca, "listen_tls.client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def peer_context(settings: ListenTls) -> ssl.SSLContext | None:
    """What a service of ours speaks to another one: the same certificate, and trust in the
    authority of the clients' (else in that very certificate); None without TLS."""
    if not settings.cert:
        return None
    context = ssl.create_default_context()
    _load_trusted(context, settings.client_ca or settings.cert, "listen_tls.client_ca")
    _load_own(context, settings.cert, settings.key, "listen_tls")
    return context


def client_context(settings: Access, section: str) -> ssl.SSLContext | None:
    """What our clients of a server speak; None without TLS. `section` names the settings in
    errors. Raises BadRequest for files that cannot be used: of these the vendors' clients would say
    nothing, or repeat their attempts until a time-out."""
    if not settings.tls:
        return None
    context = ssl.create_default_context()
    if settings.ca:
        _load_trusted(context, settings.ca, f"{section}.ca")
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert:
        _load_own(context, settings.cert, settings.key, section)
    return context


def _load_own(context: ssl.SSLContext, cert: str, key: str, section: str) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        why = f"{cert} with {key} cannot be used ({error}): name PEM files of both"
        raise BadRequest(f"{section}.cert", why) from None


def _load_trusted(context: ssl.SSLContext, file: str, field: str) -> None:
    try:
        context.load_verify_locations(file)
    except OSError as error:
        why = f"{file} cannot be used ({error}): name a PEM file of certificates"
        raise BadRequest(field, why) from None


def _no_password() -> str:
    """Asked for when a key is encrypted: better an error than a prompt that nobody sees."""
    raise ValueError("the key is encrypted; give one that is not, readable by its owner only")
