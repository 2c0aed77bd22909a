"""Rollouts in, one optimizer update out."""
