
# USR1 comes ahead of the time limit: save, then begin again. TERM is a cancelled or
# preempted job: save.
requeue=
trap 'requeue=yes; @SAVE@ 2>/dev/null' USR1
trap '@CANCELLED@ 2>/dev/null' TERM
@LOAD@
cd @FOLDER@ || exit 1
@COMMAND@ &
child=$!
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do  # a trap ends `wait`, not the child
  wait "$child"
  code=$?
done
if [ -n "${alarm:-}" ]; then
  pkill -P "$alarm" 2>/dev/null
  kill "$alarm" 2>/dev/null
fi
if [ "$requeue" = yes ] && [ "$code" -ne 0 ]; then
  again
fi
exit "$code"
