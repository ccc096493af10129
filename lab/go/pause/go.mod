module q8s.io/lab/pause

go 1.26
