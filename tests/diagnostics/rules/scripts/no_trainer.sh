#!/bin/bash
set -e
pip install -r requirements.txt
python evaluate.py --model /ckpt/latest --batch_size 8
