"""Real asynchrony on Ray: rollout workers, a grader and a learner as actors; lag is measured, not set."""
