"""What Prefect calls our flows, and a state of their runs."""

FLOW_NAME, SWEEP_FLOW = "mae-full-benchmark", "mae-sweep"
INCOMPLETE = "Incomplete"  # state of a flow run in which a cell failed
