#!/usr/bin/env bash
# Makes three dozen short videos with ffmpeg: several sizes, frame rates and codecs, moving patterns, some with captions.
# Usage: make-videos.sh FOLDER
set -euo pipefail

folder=${1:?usage: make-videos.sh FOLDER}
[ -e "$folder/.complete" ] && exit 0
mkdir -p "$folder"
echo "videos: generating 36 clips in $folder"
sources=("testsrc2" "mandelbrot=maxiter=200" "life=mold=10:ratio=0.1:death_color=#203060:life_color=#f0c040" "smptehdbars" "gradients=speed=0.05" "cellauto=rule=110")
sizes=(640x360 1280x720 854x480 360x640 720x720 320x240)
rates=(24 30 25 30000/1001 60 15)
number=0
for source in "${!sources[@]}"; do
    for variant in 0 1 2 3 4 5; do
        index=$(((source + variant) % 6))
        name=$(printf 'clip-%02d' "$number")
        input=${sources[$source]}
        separator='='; case $input in *=*) separator=':' ;; esac
        case $variant in
            0 | 1 | 2) codec=(-c:v libx264 -preset veryfast -crf 23 -g 48 -pix_fmt yuv420p) extension=mp4 ;;
            3) codec=(-c:v libx265 -preset ultrafast -crf 26 -x265-params log-level=none -pix_fmt yuv420p) extension=mkv ;;
            4) codec=(-c:v mpeg2video -q:v 4 -bf 2 -r 25 -pix_fmt yuv420p) extension=ts ;;
            5) codec=(-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 800k -pix_fmt yuv420p) extension=webm ;;
        esac
        ffmpeg -nostdin -v error -y -f lavfi -i "${input}${separator}size=${sizes[$index]}:rate=${rates[$index]}" \
            -t 4 "${codec[@]}" "$folder/$name.$extension" </dev/null
        echo "${input%%[=:]*}, ${sizes[$index]} at ${rates[$index]} frames per second" >"$folder/$name.txt"
        number=$((number + 1))
    done
done
touch "$folder/.complete"
