# The fine-tuned classifier of the demo on the garments that it was tested with. For your own sets:
# a name and the data of each, see ../_base_/evaluate_in1k.py.
#   mae-bench evaluate CONFIG --encoder runs/demo/stages/finetune-mae-*/classifier.safetensors
_base_ = "../_base_/demo.py"
stage = "evaluate"
transform = dict(input_size=30, crop_pct=1.0)
batch_size = 500
num_workers = 0
sets = [dict(name="test", data="demo/classification/test")]
