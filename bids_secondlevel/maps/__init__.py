"""Read files into arrays on one surface or grid."""
