"""Light an LED on pin 17 while a rock is shown."""

from gpiozero import LED

from edge import watch

watch("model.onnx", when={"rock": LED(17)})
