// Prints what Compose v2 makes of the files given: its own library reads them.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	text, err := merged(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(string(text))
}

func merged(files []string) ([]byte, error) {
	profiles := cli.WithProfiles([]string{"*"})
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithDotEnv, profiles)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project.MarshalYAML()
}
