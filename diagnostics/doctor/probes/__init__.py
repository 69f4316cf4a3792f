"""Small programs that checks run as child processes; each prints one JSON object as its last line.

They may import torch and the libraries that they try out: a crash in one stays there.
"""
