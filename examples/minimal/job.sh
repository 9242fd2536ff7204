#!/bin/sh
loss='function loss(a, b, i) { return (a * i / 10 + b - 3 * i / 10 - 1 - (i * 7919 % 13 - 6) / 20) ^ 2 }'
case $1 in
train) awk -v seed="$LC_SEED" "$loss"'
  function total(a, b) { s = 0; for (i = 0; i < 40; i++) s += loss(a, b, i); return s }
  BEGIN { srand(substr(seed, length(seed) - 8) + 0); best = total(0, 0)  # awk takes 31 bits of a seed
    for (n = 0; n < 2000; n++) { c = a + rand() - .5; d = b + rand() - .5
      if ((t = total(c, d)) < best) { best = t; a = c; b = d } }
    printf "%.12f %.12f\n", a, b }' > /lc/out/model ;;
evaluate) awk "$loss"'
  NR > 1 || NF != 2 || /[^-0-9. ]/ { exit 65 }  # not a model: the claim fails
  { for (i = 0; i < 40; i++) printf "%.9f\n", loss($1, $2, i) }' /lc/in/model > /lc/out/losses ;;
*) exit 64 ;;
esac
