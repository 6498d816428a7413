#!/bin/bash
# Hand in a study to Slurm: an array of participants, and the group level after it.
#   ./submit.sh BIDS_DIR OUTPUT_DIR [options]
# Options are handed to both levels: put those of one level into a file, which both
# take (--config settings.toml). Paths are best absolute. The list of participants is made anew unless LIST names one. At most 50
# tasks run at a time.
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
  echo "$list: names nobody; expected the folders sub-* of $bids_dir, one a line." >&2
  exit 66
fi

# afterany, not afterok: after one failed task, afterok would wait for ever.
array=$(sbatch --parsable --array="1-$n%50" \
  "$here/participants.sbatch" "$list" "$bids_dir" "$output_dir" "$@")
group=$(sbatch --parsable --dependency="afterany:$array" \
  "$here/group.sbatch" "$list" "$bids_dir" "$output_dir" "$@")
echo "$n tasks: job $array; the group level after them: job $group"
