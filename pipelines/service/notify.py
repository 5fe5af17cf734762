"""Tell a chat or a pager when a benchmark has failed: an automation of the Prefect server."""

from datetime import timedelta
from typing import cast
from uuid import UUID

from prefect.automations import AutomationCore, CallWebhook, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from pydantic import SecretStr

from pipelines.service.prefect_names import FLOW_NAME, INCOMPLETE

NAME = "mae-bench-failed"  # of the automation and its webhook
STATES = ("Failed", "Crashed", INCOMPLETE)
MESSAGE = (  # Jinja; what Slack, Mattermost and others take
    '{"text": {{ ("benchmark " ~ flow_run.name ~ " is " ~ flow_run.state.name ~ ": "'
    ' ~ flow_run.state.message ~ " " ~ (flow_run | ui_url)) | tojson }} }'
)


def notify(client: SyncPrefectClient, url: str) -> str:
    """Create or update the automation that posts to `url`; what was done, as a line.

    Args:
        client: of the server.
        url: of an incoming webhook that takes `{"text": ...}`; kept on the server as a secret.
    """
    block = cast(UUID, Webhook(url=SecretStr(url)).save(NAME, overwrite=True))
    automation = AutomationCore(
        name=NAME,
        description="Posts the causes when a benchmark failed, or some of its cells did.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in STATES},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOW_NAME},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block, payload=MESSAGE)],
    )
    there = client.read_automations_by_name(NAME)
    if there:
        client.update_automation(there[0].id, automation)
    else:
        client.create_automation(automation)
    return f"automation '{NAME}': {'updated' if there else 'created'}"
