// Renders a template of Grafana's messages as its notifier does: Go's text/template with the
// functions of Alertmanager that ours use. Reads {"text", "name", "data"} as JSON on stdin.
package main

import (
	"encoding/json"
	"os"
	"regexp"
	"text/template"
	"time"
)

type Alert struct {
	Status                             string
	Labels, Annotations                map[string]string
	StartsAt, EndsAt                   time.Time
	PanelURL, DashboardURL, SilenceURL string
}

type Alerts []Alert

func (all Alerts) with(status string) []Alert {
	var found []Alert
	for _, one := range all {
		if one.Status == status {
			found = append(found, one)
		}
	}
	return found
}
func (all Alerts) Firing() []Alert   { return all.with("firing") }
func (all Alerts) Resolved() []Alert { return all.with("resolved") }

type Data struct {
	Status                    string
	Alerts                    Alerts
	GroupLabels, CommonLabels map[string]string
	ExternalURL               string
}

func main() {
	var asked struct {
		Text, Name string
		Data       Data
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	functions := template.FuncMap{"reReplaceAll": func(pattern, by, text string) string {
		return regexp.MustCompile(pattern).ReplaceAllString(text, by)
	}}
	parsed := template.Must(template.New("").Funcs(functions).Parse(asked.Text))
	if err := parsed.ExecuteTemplate(os.Stdout, asked.Name, asked.Data); err != nil {
		panic(err)
	}
}
