"""Measure pretrained models on MVTec-layout folders."""
