"""What a node does by itself in federated training: member, aggregator, panel, sponsor, clean-up."""
