#!/usr/bin/env bash
# Compiles what protoc makes of the definition for Java, where the tools are: Debian's openjdk, protobuf-compiler, libprotobuf-java,
# protobuf-compiler-grpc-java-plugin and libgrpc-java.
set -euo pipefail
cd "$(dirname "$0")/.."

jars=/usr/share/java
plugin=$(command -v grpc_java_plugin || true)
if ! command -v javac protoc >/dev/null || [ -z "$plugin" ] || [ ! -e $jars/protobuf.jar ] || [ ! -e $jars/grpc-stub.jar ]; then
  echo "stubs: Java SKIPPED, javac, protoc, grpc_java_plugin and Debian's libgrpc-java are needed"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/java"
files=$(cd proto && find cllm4rec google -name '*.proto')
# shellcheck disable=SC2086 # a list
protoc -I proto --java_out="$folder/java" --plugin=protoc-gen-grpc-java="$plugin" --grpc-java_out="$folder/java" $files
classes=$(find $jars -name 'protobuf.jar' -o -name 'grpc-*.jar' -o -name 'guava.jar' -o -name '*annotation*.jar' | tr '\n' ':')
find "$folder/java" -name '*.java' >"$folder/sources"
javac -nowarn -d "$folder/classes" -cp "$classes" "@$folder/sources"
echo "stubs: Java ok, $(find "$folder/classes" -name '*ServiceGrpc.class' | wc -l) services"
