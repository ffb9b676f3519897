"""A camera, a Python block with OpenCV, boxes in the browser.

pip install framewire numpy "opencv-python-headless<5"
framewire run rtsp://user:password@10.0.0.2/stream1 --analyse faces.py --watch
"""

import cv2

import framewire

FACES = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")


@framewire.block(size=(640, 360), format="gray8", fps=10)
def faces(frame):
    """Finds faces that look this way."""
    found = FACES.detectMultiScale(frame, scaleFactor=1.2, minNeighbors=5)
    return [framewire.Box(x, y, w, h, "face") for x, y, w, h in found]
