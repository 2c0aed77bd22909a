"""Gradient fidelity: how far each objective's gradient on stale responses is from the on-policy one."""
