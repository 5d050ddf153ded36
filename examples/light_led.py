"""Light an LED on pin 17 while a thumb is up."""

from gpiozero import LED

from edge import watch

watch("model.onnx", when={"thumb": LED(17)})
