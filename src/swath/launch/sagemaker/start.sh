# The first process of a container, until swath is installed in its Python and takes its place: SageMaker sends
# SIGTERM to the first process alone, so the shell answers it until then.
trap 'exit 143' TERM
base=${SAGEMAKER_BASE_DIR:-/opt/ml}
code=$base/input/data/code
mkdir -p "$base/output"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --constraint "$code/constraints.txt" "$code"/*.whl > "$base/output/pip.txt" 2>&1 &
wait $! || {
    echo "pip could not install swath in this image: $(tail -n 3 "$base/output/pip.txt")" | tee "$base/output/failure"
    exit 5
}
trap - TERM
exec python3 -m swath.launch.sagemaker.entry
