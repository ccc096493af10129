module q8s.io/lab/guest-init

go 1.26

require golang.org/x/sys v0.37.0
