# cmake -DIN=file -DOUT=file.c -DNAME=symbol -P embed.cmake: a text file as a C string.
file(READ ${IN} text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
file(WRITE ${OUT} "/* made from ${IN} by cmake/embed.cmake */\nextern const char ${NAME}[];\nconst char ${NAME}[] =\n    \"${text}\";\n")
