# How every image with Python programs begins; the build puts this before the image's own Dockerfile
# (installer/images/contexts.sh). Made without a network: packages come from the root file system,
# wheels from build/wheels.
ARG ROOT
ARG ENGINE
FROM $ROOT AS wheels
ARG PLACE=/opt/appliance
COPY wheels /wheels
COPY requirements.txt /requirements.txt
# pip verifies every wheel's digest and unpacks it; pip itself does not get into the image.
COPY pip /pip/pip
RUN PYTHONPATH=/pip python3 -m pip install --quiet --no-index --no-deps --require-hashes \
    --no-compile --no-warn-script-location --root-user-action=ignore \
    --find-links /wheels --target "$PLACE" -r /requirements.txt && \
    rm -rf "$PLACE/bin" && \
    python3 -m compileall -q --invalidation-mode unchecked-hash "$PLACE"

