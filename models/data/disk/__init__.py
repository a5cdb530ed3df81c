"""Image data sets on disk: folders, Parquet with an image column, CIFAR-10's archive."""
