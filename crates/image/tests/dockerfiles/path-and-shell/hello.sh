#!/bin/sh
echo "hello $#"
