"""Settings of the engine: where answers may come from, and words and shares that mean something."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config import split_of
from appliance.errors import ConfigurationError
from tests.unit.test_config import settings


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434",
        "http://localhost:8000/v1",
        "https://10.20.30.40:8443/v1/",
        "http://172.31.0.9",
        "http://192.168.1.5:11434",
        "http://[::1]:11434",
        "http://[fd12:3456::9]:8000",
        "http://ollama:11434",
        "http://gpu-server-2:8000",
    ],
)
def test_an_engine_inside_the_site_may_be_named(tmp_path: Path, url: str) -> None:
    """This machine, a private address, or a name that only the site's own network knows."""
    loaded = settings(tmp_path, f'[engine]\nkind = "openai"\nurl = "{url}"\n')
    assert loaded.engine.url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8:11434",
        "https://models.example.com/v1",
        "http://ollama.",
        "http://[2001:db8::1]:8000",
        "http://[::ffff:8.8.8.8]:8000",
        "http://[::1%25eth0]:8000",
        "http://169.254.169.254/latest",
        "http://0.0.0.0:8000",
        "http://100.64.0.1:8000",
        "http://172.32.0.1",
        "http://2130706433:8000",
        "http://0x08080808:8000",
        "http://127.1:8000",
        "http://10.0.0.1@8.8.8.8/",
        "http://user:secret@10.0.0.1/",
        "http://10.0.0.1/v1?key=1",
        "http://10.0.0.1/v1#x",
        "http://10.0.0.1/../x",
        "http://10.0.0.1/%2e%2e",
        "http://10.0.0.1:0",
        "http://10.0.0.1:99999",
        "http://10.0.0.1:port",
        "http://10.0.0.1\\\\@8.8.8.8",
        "http://olla ma:11434",
        "http://olla\\tma:11434",
        "http://\u043ellama:11434",
        "http://:11434",
        "http://",
        "ftp://10.0.0.1",
        "file:///etc/passwd",
        "unix:///run/x",
        "ollama:11434",
        "10.0.0.1:11434",
    ],
)
def test_an_engine_outside_the_site_is_refused(tmp_path: Path, url: str) -> None:
    """Questions hold what patients said, and no setting may send them away, not even by a trick."""
    with pytest.raises(ConfigurationError, match=r"engine\.url .* inside the site"):
        settings(tmp_path, f'[engine]\nkind = "ollama"\nurl = "{url}"\n')


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_another_server_needs_an_address(tmp_path: Path, kind: str) -> None:
    """A guess could be somebody else's server."""
    with pytest.raises(ConfigurationError, match=r"needs engine\.url"):
        settings(tmp_path, APPLIANCE_ENGINE__KIND=kind)


def test_processes_of_our_own_have_no_address(tmp_path: Path) -> None:
    """Whoever sets one believes that questions go there; they would not."""
    with pytest.raises(ConfigurationError, match="starts processes of its own"):
        settings(tmp_path, APPLIANCE_ENGINE__URL="http://ollama:11434")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "vllm"),
        ("kind", ""),
        ("flash_attention", "yes"),
        ("flash_attention", "ON"),
        ("cache_type", "q8"),
        ("cache_type", "f32"),
    ],
)
def test_a_word_of_the_engine_is_one_of_a_list(tmp_path: Path, key: str, value: str) -> None:
    """The message names the words there are."""
    with pytest.raises(ConfigurationError, match=rf"engine\.{key} must be one of"):
        settings(tmp_path, f'[engine]\n{key} = "{value}"\n')


@pytest.mark.parametrize(
    ("text", "shares"), [("", ()), ("1", (1,)), ("3,1", (3, 1)), ("0.5, 0.5,0", (0.5, 0.5, 0))]
)
def test_shares_of_gpus_are_numbers(text: str, shares: tuple[float, ...]) -> None:
    """In the order of the GPUs; 0 leaves one out."""
    assert split_of(text) == shares


@pytest.mark.parametrize(
    "text", [",", "3,", "3;1", "-1,2", "1e3", "nan", "inf", "0", "0,0.0", "a", ",".join("1" * 17)]
)
def test_other_shares_are_refused(tmp_path: Path, text: str) -> None:
    """llama.cpp would divide by their sum."""
    with pytest.raises(ConfigurationError, match=r"engine\.gpu_split"):
        settings(tmp_path, f'[engine]\ngpu_split = "{text}"\n')


@pytest.mark.parametrize("kept", ["q8_0", "q4_0"])
def test_a_small_cache_needs_flash_attention(tmp_path: Path, kept: str) -> None:
    """llama.cpp refuses to start otherwise, after minutes of loading."""
    off = {"APPLIANCE_ENGINE__FLASH_ATTENTION": "off", "APPLIANCE_ENGINE__CACHE_TYPE": kept}
    with pytest.raises(ConfigurationError, match="needs flash attention"):
        settings(tmp_path, **off)
    assert settings(tmp_path, APPLIANCE_ENGINE__CACHE_TYPE=kept).engine.cache_type == kept


def test_the_pool_holds_one_answer_at_least(tmp_path: Path) -> None:
    """Else the longest answer that is promised could never be written."""
    with pytest.raises(ConfigurationError, match="does not hold one answer"):
        settings(tmp_path, "[engine]\npool_tokens = 4096\ncontext_tokens = 8192\n")
