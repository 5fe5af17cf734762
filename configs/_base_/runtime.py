# Runner settings that every training shares.
default_scope = "mmengine"
log_level = "INFO"
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
default_hooks = dict(
    checkpoint=dict(type="StepCheckpointHook", interval=1, minutes=10, keep=2),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="UpdateSchedulerHook"),
    runtime_info=dict(type="BatchedRuntimeInfoHook", interval=10),
)
