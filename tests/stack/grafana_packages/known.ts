// Types for what the dashboards hold. `Plain` makes every field optional and takes the text of an
// enumeration; an option that Grafana does not have, or a value it does not know, is still an error.
import * as common from '@grafana/schema';
import * as dashboard from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import * as logs from '@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import * as loki from '@grafana/schema/dist/esm/raw/composable/loki/dataquery/x/LokiDataQuery_types.gen';
import * as tempo from '@grafana/schema/dist/esm/raw/composable/tempo/dataquery/x/TempoDataQuery_types.gen';

export type Plain<T> =
  T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer Item> ? Array<Plain<Item>>
  : T extends object ? { [Key in keyof T]?: Plain<T[Key]> }
  : T;

type Unified<T, Added = {}> = Plain<Omit<T, 'targets' | 'options' | 'annotations' | 'panels'> & Added>;

// The datasource in a query may be a reference; older types call it `unknown`.
type Query<T> = Plain<Omit<T, 'datasource'> & { datasource: dashboard.DataSourceRef }>;

export type Dashboard = Unified<dashboard.Dashboard>;
export type Row = Plain<Omit<dashboard.RowPanel, 'panels'>> & { panels: [] };
export type Frame = Unified<dashboard.Panel>;
export type Custom = {
  timeseries: Plain<timeseries.FieldConfig>;
  table: Plain<table.FieldConfig>;
  heatmap: Plain<heatmap.FieldConfig>;
};
export type Options = {
  timeseries: Plain<timeseries.Options>;
  stat: Plain<stat.Options>;
  table: Plain<table.Options>;
  logs: Plain<logs.Options>;
  heatmap: Plain<heatmap.Options>;
  text: Plain<text.Options>;
  // Not published; as of public/app/plugins/panel/alertlist/types.ts of Grafana 12.4.
  alertlist: {
    alertInstanceLabelFilter: string; alertName: string; dashboardAlerts: boolean; folder: null;
    groupMode: 'default' | 'custom'; maxItems: number; sortOrder: 1 | 2 | 3 | 4 | 5;
    viewMode: 'list' | 'stat';
    stateFilter: Partial<Record<'firing' | 'pending' | 'recovering' | 'noData' | 'normal' | 'error', boolean>>;
  };
};
export type Target = {
  loki: Query<loki.LokiDataQuery>;
  tempo: Query<tempo.TempoQuery>;
  // In a package of its own that needs all of Grafana; the fields are those of its query editor.
  prometheus: Plain<common.DataQuery> & {
    datasource: Plain<dashboard.DataSourceRef>; expr: string; legendFormat?: string;
    exemplar?: boolean; range?: boolean; instant?: boolean; format?: 'time_series' | 'table' | 'heatmap';
  };
};
// A Prometheus annotation carries its query beside the published fields.
export type Annotation = Plain<dashboard.AnnotationQuery> & {
  expr: string; step: string; titleFormat: string; textFormat: string;
};
