"""Records cameras under signed mandates: RTSP in, encrypted fragments out."""
