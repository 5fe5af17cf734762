from prefect.client.orchestration import get_client

from pipelines.service.notify import NAME, STATES, notify


def test_the_automation_is_made_once_and_follows_the_address(prefect: None) -> None:
    """That a message arrives is tested on a whole server in tests/test_service.py."""
    with get_client(sync_client=True) as client:
        assert notify(client, "http://127.0.0.1:9/old") == f"automation '{NAME}': created"
        assert notify(client, "http://127.0.0.1:9/new") == f"automation '{NAME}': updated"
        (found,) = client.read_automations_by_name(NAME)
        (action,) = found.actions
        block = client.read_block_document(action.block_document_id, include_secrets=True)
        client.delete_automation(found.id)
    assert block.data["url"] == "http://127.0.0.1:9/new"
    assert found.enabled
    assert found.trigger.expect == {f"prefect.flow-run.{state}" for state in STATES}
