
# The processes on the other nodes of the run. All take each step together and stop
# together: what task.sh tells the first is enough.
nodes=($(awk '!seen[$0]++' "$PBS_NODEFILE"))
coordinator=${nodes[0]}:$((61440 + ${PBS_JOBID%%[!0-9]*} % 4096))
for process in $(seq 1 @LAST@); do
  pbsdsh @WHERE@ /bin/bash -c @PROCESS@ "$process" "$coordinator" &
done
