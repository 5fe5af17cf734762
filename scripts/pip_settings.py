"""Where pip is set to find packages, in uv's words: uv reads nothing of pip's configuration."""

import ast
import subprocess

# pip's option: uv's variable, and what stands between several values there
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "retries": ("UV_HTTP_RETRIES", " "),
}
FALSE = ("", "0", "false", "no", "off")


def pip_settings(python: str) -> dict[str, str]:
    """pip's options for installing by name, from its files and variables, the strongest last."""
    command = [python, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            if line.startswith(section):
                name, _, value = line.removeprefix(section).partition("=")
                settings[name] = ast.literal_eval(value)
    return settings


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """The variables of uv that say the same as pip's settings."""
    environment = {}
    for name, (variable, separator) in VARIABLES.items():
        if values := settings.get(name, "").split():
            environment[variable] = separator.join(values)
    return environment


def uv_options(settings: dict[str, str]) -> list[str]:
    """The options that say what no variable of uv can."""
    # As pip does: the best version of all places, not that of the first one that has any.
    options = ["--index-strategy", "unsafe-best-match"]
    if settings.get("no-index", "").lower() not in FALSE:
        options.append("--no-index")
    return options
