# The first process of a container, until swath is installed in its Python and takes its place: SageMaker sends
# SIGTERM to the first process alone, so the shell answers it until then. It lies beside the wheel: an entrypoint
# takes 256 characters. A processing job has arguments, a training job has none, and another file for its last words.
trap 'exit 143' TERM
output=${SAGEMAKER_BASE_DIR:-/opt/ml}/output
code=$(dirname "$0")
mkdir -p "$output"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --constraint "$code/constraints.txt" "$code"/*.whl > "$output/pip.txt" 2>&1 &
wait $! || {
    echo "pip could not install swath in this image: $(tail -n 3 "$output/pip.txt")" |
        tee "$output/failure" "$output/message"
    exit 5
}
trap - TERM
[ $# -eq 0 ] || exec python3 -m swath.launch.sagemaker.processing_entry "$@"
exec python3 -m swath.launch.sagemaker.entry
