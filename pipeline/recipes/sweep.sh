#!/bin/sh
# Writes a Markdown table of the scores of sweep.yaml: a row for each line of scores/index.tsv.
set -e
tab=$(printf '\t')
echo '| seed | learning rate | score |
|---|---|---|' >table.md
tail -n +2 scores/index.tsv | while IFS=$tab read -r file seed rate; do
	value=$(grep -o '"value": *[-+.e0-9]*' "scores/$file" | head -n 1 | sed 's/.*: *//')
	test -n "$value"
	echo "| $seed | $rate | $value |" >>table.md
done
