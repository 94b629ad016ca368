"""Which engine settings are refused: an engine out on the open net, words that mean nothing.

Guarantee: an address that passes is this machine, a neighbour in a private network, or a bare
host name, which only the site's own name service or a container network can resolve. Not here:
whether anything answers there, and whether layers and cache fit (`llama/placement.py`).
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from appliance.config.settings import Engine
from appliance.errors import ConfigurationError

KINDS = ("llama", "ollama", "openai")
FLASH_ATTENTION = ("auto", "on", "off")
CACHE_TYPES = ("auto", "f16", "q8_0", "q4_0")
MAX_GPUS = 16

# Begins with a letter and has no dot: some resolvers read `2130706433` and `127.1` as addresses.
BARE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
# No percent-escapes and no `..`, which server and client may read in different ways.
PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
SHARE = re.compile(r"\d{1,6}(\.\d{1,3})?")
# RFC 1918, RFC 4193 and loopback. Link-local is left out: clouds keep secrets at 169.254.169.254.
NEARBY = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    )
)


def check(engine: Engine) -> None:
    """Raise ConfigurationError that names the first setting which cannot stand."""
    _one_of("kind", engine.kind, KINDS)
    _one_of("flash_attention", engine.flash_attention, FLASH_ATTENTION)
    _one_of("cache_type", engine.cache_type, CACHE_TYPES)
    _check_url(engine)
    split_of(engine.gpu_split)
    if engine.cache_type in {"q8_0", "q4_0"} and engine.flash_attention == "off":
        raise ConfigurationError(
            f"engine.cache_type {engine.cache_type} needs flash attention, which is off",
            hint="set engine.flash_attention to auto or on, or engine.cache_type to f16",
        )
    if engine.pool_tokens and engine.pool_tokens < engine.context_tokens:
        raise ConfigurationError(
            f"engine.pool_tokens {engine.pool_tokens} does not hold one answer of "
            f"engine.context_tokens {engine.context_tokens}",
            hint="raise engine.pool_tokens, or lower engine.context_tokens",
        )


def split_of(text: str) -> tuple[float, ...]:
    """Return the shares of several GPUs; none when the setting is empty."""
    if not text:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MAX_GPUS or not all(SHARE.fullmatch(part) for part in parts):
        raise ConfigurationError(
            f"engine.gpu_split {text!r} must be up to {MAX_GPUS} numbers with commas, such as 3,1"
        )
    shares = tuple(map(float, parts))
    if not any(shares):
        raise ConfigurationError("engine.gpu_split gives every GPU nothing")
    return shares


def _one_of(key: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ConfigurationError(f"engine.{key} must be one of {', '.join(words)}, not {value!r}")


def _check_url(engine: Engine) -> None:
    if engine.kind == "llama":
        if engine.url:
            raise ConfigurationError(
                "engine.url is set, but engine.kind llama starts processes of its own",
                hint="set engine.kind to ollama or openai, or take engine.url out",
            )
        return
    if not engine.url:
        raise ConfigurationError(
            f"engine.kind {engine.kind} needs engine.url",
            hint="set engine.url to the server's address, such as http://127.0.0.1:11434",
        )
    if not is_nearby(engine.url):
        raise ConfigurationError(
            f"engine.url {engine.url!r} is not an address inside the site",
            hint="use http:// or https:// with a loopback or private address or a bare host name, "
            "and no name, password or query in it",
        )


def is_nearby(url: str) -> bool:
    """Say whether this is plain http(s) to this machine, a private address or a bare name."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    # urlsplit drops tabs and line ends silently, so what it read must be all there was.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    plain = parts.scheme in {"http", "https"} and PATH.fullmatch(parts.path) is not None
    decorated = any(sign in url for sign in "@?#%")
    return plain and not decorated and port != 0 and _is_nearby_host(parts)


def _is_nearby_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return BARE_NAME.fullmatch(host) is not None
    return any(address in network for network in NEARBY)
