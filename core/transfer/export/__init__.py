"""A run as adapter, merged model, ONNX, script or archive, each verified before it is offered."""
