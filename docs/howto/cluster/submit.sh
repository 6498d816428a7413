#!/bin/bash
# Submits a study to Slurm: an array with a task for each participant, and the group level after it.
#   ./submit.sh BIDS_DIR OUTPUT_DIR [options]
# Both levels get the options. Put options of one level into a file, which may have those of both
# (--config settings.toml). Use absolute paths. The participants are the folders sub-* of BIDS_DIR,
# or the lines of the file in the variable LIST. At most 50 tasks of an array run at a time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bids_dir=$1 output_dir=$2
shift 2

list=${LIST:-participants.txt}
if [[ -z ${LIST:-} ]]; then
  find -L "$bids_dir" -mindepth 1 -maxdepth 1 -type d -name 'sub-*' -printf '%f\n' \
    | sort > "$list"
fi
n=$(wc -l < "$list")
if [[ $n -eq 0 ]]; then
  echo "$list: is empty; expected the folders sub-* of $bids_dir, one on each line." >&2
  exit 66
fi

# Slurm numbers the tasks of an array up to MaxArraySize - 1. A longer list becomes several arrays.
size=$(scontrol show config 2> /dev/null | awk '$1 == "MaxArraySize" {print $3 - 1}' || true)
size=${size:-1000}
parts=("$list")
if [[ $n -gt $size ]]; then
  rm -f "$list".part-*
  split --lines="$size" --numeric-suffixes=1 --suffix-length=3 "$list" "$list.part-"
  parts=("$list".part-*)
fi
jobs=()
for part in "${parts[@]}"; do
  tasks=$(wc -l < "$part")
  job=$(sbatch --parsable --array="1-$tasks%50" \
    "$here/participants.sbatch" "$part" "$bids_dir" "$output_dir" "$@")
  jobs+=("$job")
  echo "$tasks participants of $part: job $job"
done

# afterany, not afterok: after one failed task, afterok would wait for ever.
after=$(IFS=:; echo "afterany:${jobs[*]}")
group=$(sbatch --parsable --dependency="$after" \
  "$here/group.sbatch" "$list" "$bids_dir" "$output_dir" "$@")
echo "The group level after them: job $group"
