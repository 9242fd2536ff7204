"""What a node does by itself about membership."""
