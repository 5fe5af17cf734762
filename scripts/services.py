"""The services of docker/compose.yaml as processes of this machine, for those without Docker.

    make services                      # Postgres, MLflow, Prefect, a worker; Ctrl-C stops them
    . runs/services/env                # in another terminal: addresses and passwords
    prefect deployment run mae-full-benchmark/demo --watch

All listen on 127.0.0.1 only. What they keep lies in the folder: databases, artifacts, logs, and
the passwords, which are made at the first start, or taken from the environment then.
Exit codes: 0 stopped on request, 1 a service failed, 2 this machine lacks something.
"""

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from mae_core.files import write_text

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
PORTS = {"postgres": 5433, "mlflow": 5000, "prefect": 4200}
SECRETS = (
    "POSTGRES_PASSWORD",
    "PREFECT_AUTH_STRING",
    "MLFLOW_PASSWORD",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_SECRET_KEY",
)
FAILED, MISSING = 1, 2
STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY = 180  # seconds until a service answers; the first start makes tables
GRACE = 30 + float(os.environ.get("MAE_BENCH_GRACE", "60"))  # seconds to stop in
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class Failure(Exception):
    """What went wrong, and the exit code."""


class Services:
    """Running processes, each with a log. They are stopped in the reverse order."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str | Path, **options: Any) -> None:
        """Start a process, in a session of its own so that Ctrl-C reaches this script alone."""
        print(f"starting {name}", flush=True)
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, **options)

    def finish(self, name: str, *command: str | Path, **options: Any) -> None:
        """Run a process to its end. Raises Failure unless it succeeds."""
        self.start(name, *command, **options)
        if self.running[name].wait():
            raise self.failure(name)
        del self.running[name]

    def wait_for(self, name: str, answers: Callable[[], bool]) -> None:
        """Return once the service answers. Raises Failure if it does not, or one has ended."""
        deadline = time.monotonic() + READY
        while not answers():
            self.check()
            if time.monotonic() > deadline:
                raise self.failure(name)
            time.sleep(0.2)

    def check(self) -> None:
        """Raise Failure if a process has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise self.failure(name)

    def failure(self, name: str) -> Failure:
        log, code = self.logs / f"{name}.log", self.running[name].poll()
        what = "does not answer" if code is None else f"ended with code {code}"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        return Failure(f"{name} {what}; the end of {log}:\n{tail}", FAILED)

    def stop(self) -> None:
        """Stop everything; what has not ended in time is killed."""
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)
        for name, process in reversed(self.running.items()):
            left = family(process.pid)
            if process.poll() is None:
                print(f"stopping {name}", flush=True)
                # SIGTERM lets Postgres wait for its clients to leave.
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            else:
                for one in left:
                    one.terminate()
            for one in psutil.wait_procs(left, GRACE)[1]:
                one.kill()
            process.wait()


def family(session: int) -> list[psutil.Process]:
    """The processes of a session, whose leader may have died, and their descendants."""
    found: dict[psutil.Process, None] = {}
    for one in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(one.pid) == session:
                found |= dict.fromkeys([one, *one.children(recursive=True)])
    return list(found)


def run(services: Services, folder: Path, ports: dict[str, int]) -> None:
    """Start all services on `folder` and wait until one of them ends."""
    known = read_secrets(folder / "secrets.json")
    mlflow, prefect = (f"http://{HOST}:{ports[name]}" for name in ("mlflow", "prefect"))
    base = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_", "PG"))}
    base |= QUIET | {"PATH": f"{BIN}:{os.environ['PATH']}", "PREFECT_HOME": f"{folder}/prefect"}
    server = base | {
        "PGHOST": HOST,
        "PGPORT": str(ports["postgres"]),
        "PGUSER": "postgres",
        "PGPASSWORD": known["POSTGRES_PASSWORD"],
        "MLFLOW_AUTH_CONFIG_PATH": str(ROOT / "docker" / "mlflow-auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": known["MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": known["MLFLOW_SECRET_KEY"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_API_AUTH_STRING": known["PREFECT_AUTH_STRING"],
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": prefect,  # pages of others may not ask
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg:///prefect",
        # The default, in memory, forgets at a restart who has a slot, and never frees it.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
    }
    client = {
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_API_AUTH_STRING": known["PREFECT_AUTH_STRING"],
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": "mae-bench",
        "MLFLOW_TRACKING_PASSWORD": known["MLFLOW_PASSWORD"],
    }
    admin = {
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": known["MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_PASSWORD": known["MLFLOW_PASSWORD"],
    }
    start_postgres(services, folder / "postgres", ports["postgres"], known["POSTGRES_PASSWORD"])

    options = ["--app-name", "basic-auth", "--workers", "2", "--host", HOST]
    options += ["--backend-store-uri", "postgresql+psycopg2:///mlflow"]
    options += ["--artifacts-destination", f"{folder}/mlartifacts", "--port", str(ports["mlflow"])]
    services.start("mlflow", BIN / "mlflow", "server", *options, env=server, cwd=folder)
    options = ["--host", HOST, "--port", str(ports["prefect"])]
    services.start("prefect", BIN / "prefect", "server", "start", *options, env=server, cwd=folder)
    services.wait_for("mlflow", partial(answers, f"{mlflow}/health"))
    services.wait_for("prefect", partial(answers, f"{prefect}/api/health"))

    here = {"env": base | client, "cwd": ROOT}
    accounts = {**here, "env": base | client | admin}
    services.finish("accounts", sys.executable, ROOT / "docker" / "accounts.py", **accounts)
    services.finish("deploy", BIN / "mae-bench", "deploy", **here)
    services.start("worker", BIN / "mae-bench", "worker", **here)

    lines = (f"export {key}={shlex.quote(value)}\n" for key, value in client.items())
    write_private(folder / "env", "".join(lines))
    print(f"MLflow   {mlflow}   user mae-bench\nPrefect  {prefect}")
    print(f"ready; in another terminal: . {shlex.quote(str(folder / 'env'))}", flush=True)
    while True:
        services.check()
        time.sleep(0.5)


def start_postgres(services: Services, data: Path, port: int, password: str) -> None:
    """Start Postgres on its data folder, which is made first if it is not there or half-made.

    It refuses to run as root: its package's user does it then.
    """
    owner = {} if os.geteuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
    programs = postgres_programs()
    if not data.exists():
        unfinished, given = (data.with_name(f"postgres-{what}") for what in ("new", "password"))
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        write_private(given, password)
        for path in (unfinished, given) if owner else ():
            shutil.chown(path, "postgres")
        options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]
        options += [f"--pwfile={given}", f"--pgdata={unfinished}"]
        services.finish("initdb", programs / "initdb", *options, **owner)
        given.unlink()
        with (ROOT / "docker" / "databases.sql").open() as sql:
            single = [programs / "postgres", "--single", "-D", unfinished, "postgres"]
            services.finish("databases", *single, stdin=sql, **owner)
        unfinished.rename(data)
    options = ["-D", data, "-h", HOST, "-p", str(port), "-c", "unix_socket_directories="]
    services.start("postgres", programs / "postgres", *options, **owner)
    ready = [programs / "pg_isready", "--quiet", "--host", HOST, "--port", str(port)]
    services.wait_for("postgres", lambda: not subprocess.run(ready).returncode)


def postgres_programs() -> Path:
    """The folder of Postgres's programs; Debian does not put it on PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not folders:
        raise Failure("no Postgres here. Debian, Ubuntu: apt-get install postgresql", MISSING)
    return folders[0]


def read_secrets(path: Path) -> dict[str, str]:
    """The passwords in the file; those that it lacks come from the environment, or are random."""
    try:
        known = dict(json.loads(path.read_text())) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise Failure(
            f"{path} is damaged ({error}). It has the passwords of the databases beside it: take "
            "it from a backup, or delete its folder to begin anew, without what was tracked",
            MISSING,
        ) from error
    for name in SECRETS:
        user = "admin:" if name == "PREFECT_AUTH_STRING" else ""
        known.setdefault(name, os.environ.get(name) or user + secrets.token_urlsafe(24))
    write_private(path, json.dumps(known))
    return known


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    write_text(path, text, private=True)


def check_free(name: str, port: int) -> None:
    """Raise Failure if something listens on the port: it would be taken for our service."""
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise Failure(f"port {port} is taken: choose another with --{name}-port", MISSING)


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/services"))
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, default=port)
    options = parser.parse_args()
    ports = {name: getattr(options, f"{name}_port") for name in PORTS}
    folder = options.folder.absolute()
    services = Services(folder / "logs")
    for number in STOP:  # a shell's background jobs ignore SIGINT, and `nohup` wants SIGHUP ignored
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        postgres_programs()
        for name, port in ports.items():
            check_free(name, port)
        services.logs.mkdir(parents=True, exist_ok=True)
        run(services, folder, ports)
    except KeyboardInterrupt:
        return 0
    except Failure as error:
        message, code = error.args
        print(f"error: {message}", file=sys.stderr)
        return code
    finally:
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
