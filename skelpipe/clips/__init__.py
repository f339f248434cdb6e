"""What was seen becomes tensors: bodies chosen, clips prepared, streams, augmentations, views and batches."""
