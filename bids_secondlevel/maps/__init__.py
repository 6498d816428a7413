"""From files to arrays on one surface or grid."""
