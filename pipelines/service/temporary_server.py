"""Prefect's temporary server, which ends with the process that started it, however that ends.

Prefect stops it as Python exits: after SIGKILL it would stay for ever, with all of that process's
environment. Ours reads a pipe from that process, and leaves when it closes.
"""

import os
import subprocess
import sys

FACTORY = "prefect.server.api.server:create_app"


def use_ours() -> None:
    """Let Prefect start this one when it needs a server and none is set."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import get_current_settings

    class TemporaryServer(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> "subprocess.Popen[bytes]":
            settings = get_current_settings().to_environment_variables(exclude_unset=True)
            own = {
                "PREFECT_UI_ENABLED": "0",
                "PREFECT__SERVER_EPHEMERAL": "1",
                "PREFECT__SERVER_FINAL": "1",
            }
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.service.temporary_server", str(self.port)],
                env={**os.environ, **own, **settings},
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C and SIGHUP are for the flow, which needs it still
            )

    TemporaryServer()  # Prefect keeps it as the one to start


def main() -> None:
    """Serve on the port that is given until standard input closes."""
    import uvicorn

    from pipelines.cells.stage_process import end_with_parent

    end_with_parent()
    uvicorn.run(FACTORY, factory=True, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
