//! Classes: what is a type of resource about?
//!
//! Tables of prefixes for the providers that are used most. A type of another provider, or one that no table has, is nobody's to wave through: the
//! answer is `None`, and the caller takes the heavier side.

use std::collections::BTreeSet;

use change::facts::material::Class::{self, Encryption, Iam, Network, Stateful};

/// The providers whose types the tables know, by namespace and name; whichever registry they come from has to be one of the two public ones.
const PROVIDERS: [(&str, &[Row]); 13] = [
    ("hashicorp/aws", AWS),
    ("hashicorp/google", GOOGLE),
    ("hashicorp/google-beta", GOOGLE),
    ("hashicorp/azurerm", AZURE),
    ("hashicorp/azuread", &[("azuread_", &[Iam])]),
    ("hashicorp/kubernetes", KUBERNETES),
    ("hashicorp/random", &[("random_password", &[Encryption]), ("random_", &[])]),
    ("hashicorp/null", &[("null_", &[])]),
    ("hashicorp/time", &[("time_", &[])]),
    ("hashicorp/tls", &[("tls_", &[Encryption])]),
    ("hashicorp/archive", &[("archive_", &[])]),
    ("hashicorp/local", &[("local_", &[])]),
    ("terraform.io/builtin/terraform", &[("terraform_data", &[])]),
];

type Row = (&'static str, &'static [Class]);

/// The first prefix that fits counts, so that the exceptions of a family stand before it.
const AWS: &[Row] = &[
    ("aws_iam_", &[Iam]),
    ("aws_ssoadmin_", &[Iam]),
    ("aws_identitystore_", &[Iam]),
    ("aws_cognito_", &[Iam, Stateful]),
    ("aws_organizations_", &[Iam]),
    ("aws_accessanalyzer_", &[Iam]),
    ("aws_lakeformation_", &[Iam]),
    ("aws_ram_", &[Iam]),
    ("aws_lambda_permission", &[Iam]),
    ("aws_eks_access_", &[Iam]),
    ("aws_s3_bucket_policy", &[Iam]),
    ("aws_s3_bucket_public_access_block", &[Iam]),
    ("aws_s3_bucket_acl", &[Iam]),
    ("aws_s3_bucket_server_side_encryption", &[Encryption]),
    ("aws_s3_bucket_", &[Stateful]),
    ("aws_s3_", &[Stateful]),
    ("aws_sqs_queue_policy", &[Iam]),
    ("aws_sqs_", &[Stateful]),
    ("aws_sns_topic_policy", &[Iam]),
    ("aws_sns_", &[]),
    ("aws_ecr_repository_policy", &[Iam]),
    ("aws_ecr_", &[Stateful]),
    ("aws_secretsmanager_", &[Encryption, Stateful]),
    ("aws_ssm_parameter", &[Encryption]),
    ("aws_kms_", &[Encryption]),
    ("aws_acm", &[Encryption]),
    ("aws_cloudhsm", &[Encryption]),
    ("aws_ebs_encryption", &[Encryption]),
    ("aws_vpc", &[Network]),
    ("aws_default_", &[Network]),
    ("aws_subnet", &[Network]),
    ("aws_security_group", &[Network]),
    ("aws_network_", &[Network]),
    ("aws_networkfirewall_", &[Network]),
    ("aws_networkmanager_", &[Network]),
    ("aws_route", &[Network]),
    ("aws_internet_gateway", &[Network]),
    ("aws_egress_only_", &[Network]),
    ("aws_nat_gateway", &[Network]),
    ("aws_vpn_", &[Network]),
    ("aws_customer_gateway", &[Network]),
    ("aws_dx_", &[Network]),
    ("aws_ec2_transit_", &[Network]),
    ("aws_ec2_managed_prefix_list", &[Network]),
    ("aws_eip", &[Network]),
    ("aws_lb", &[Network]),
    ("aws_alb", &[Network]),
    ("aws_elb", &[Network]),
    ("aws_cloudfront_", &[Network]),
    ("aws_globalaccelerator_", &[Network]),
    ("aws_api_gateway", &[Network]),
    ("aws_apigatewayv2_", &[Network]),
    ("aws_waf", &[Network]),
    ("aws_shield_", &[Network]),
    ("aws_service_discovery_", &[Network]),
    ("aws_appmesh_", &[Network]),
    ("aws_db_subnet_group", &[Network]),
    ("aws_db_", &[Stateful]),
    ("aws_rds_", &[Stateful]),
    ("aws_docdb", &[Stateful]),
    ("aws_neptune_", &[Stateful]),
    ("aws_dynamodb_", &[Stateful]),
    ("aws_dax_", &[Stateful]),
    ("aws_elasticache_", &[Stateful]),
    ("aws_memorydb_", &[Stateful]),
    ("aws_redshift", &[Stateful]),
    ("aws_opensearch", &[Stateful]),
    ("aws_elasticsearch_", &[Stateful]),
    ("aws_timestream", &[Stateful]),
    ("aws_keyspaces_", &[Stateful]),
    ("aws_qldb_", &[Stateful]),
    ("aws_ebs_", &[Stateful]),
    ("aws_volume_attachment", &[Stateful]),
    ("aws_efs_", &[Stateful]),
    ("aws_fsx_", &[Stateful]),
    ("aws_backup_", &[Stateful]),
    ("aws_glacier_", &[Stateful]),
    ("aws_kinesis_", &[Stateful]),
    ("aws_msk_", &[Stateful]),
    ("aws_mq_", &[Stateful]),
    ("aws_cloudwatch_log_group", &[Stateful]),
    ("aws_cloudwatch_", &[]),
    ("aws_instance", &[]),
    ("aws_spot_", &[]),
    ("aws_launch_", &[]),
    ("aws_autoscaling_", &[]),
    ("aws_appautoscaling_", &[]),
    ("aws_placement_group", &[]),
    ("aws_ami", &[]),
    ("aws_lambda_", &[]),
    ("aws_ecs_", &[]),
    ("aws_eks_", &[]),
    ("aws_batch_", &[]),
    ("aws_sfn_", &[]),
    ("aws_scheduler_", &[]),
    ("aws_codebuild_", &[]),
    ("aws_budgets_", &[]),
];

const GOOGLE: &[Row] = &[
    ("google_service_account", &[Iam]),
    ("google_project_iam", &[Iam]),
    ("google_organization_", &[Iam]),
    ("google_folder", &[Iam]),
    ("google_iam_", &[Iam]),
    ("google_access_context_manager_", &[Iam]),
    ("google_kms_", &[Encryption]),
    ("google_secret_manager_", &[Encryption, Stateful]),
    ("google_certificate_manager_", &[Encryption]),
    ("google_privateca_", &[Encryption]),
    ("google_compute_ssl_", &[Encryption, Network]),
    ("google_compute_managed_ssl_", &[Encryption, Network]),
    ("google_compute_disk", &[Stateful]),
    ("google_compute_region_disk", &[Stateful]),
    ("google_compute_attached_disk", &[Stateful]),
    ("google_compute_snapshot", &[Stateful]),
    ("google_compute_instance", &[]),
    ("google_compute_autoscaler", &[]),
    ("google_compute_region_autoscaler", &[]),
    ("google_compute_image", &[]),
    ("google_compute_health_check", &[]),
    ("google_compute_", &[Network]),
    ("google_dns_", &[Network]),
    ("google_vpc_access_", &[Network]),
    ("google_network_", &[Network]),
    ("google_service_networking_", &[Network]),
    ("google_sql_user", &[Iam, Stateful]),
    ("google_sql_", &[Stateful]),
    ("google_storage_", &[Stateful]),
    ("google_spanner_", &[Stateful]),
    ("google_bigtable_", &[Stateful]),
    ("google_bigquery_", &[Stateful]),
    ("google_firestore_", &[Stateful]),
    ("google_redis_", &[Stateful]),
    ("google_memcache_", &[Stateful]),
    ("google_alloydb_", &[Stateful]),
    ("google_filestore_", &[Stateful]),
    ("google_pubsub_", &[Stateful]),
    ("google_artifact_registry_", &[Stateful]),
    ("google_container_", &[]),
    ("google_cloud_run", &[]),
    ("google_cloudfunctions", &[]),
    ("google_cloud_scheduler_", &[]),
    ("google_monitoring_", &[]),
    ("google_logging_", &[]),
];

const AZURE: &[Row] = &[
    ("azurerm_role_", &[Iam]),
    ("azurerm_user_assigned_identity", &[Iam]),
    ("azurerm_federated_identity", &[Iam]),
    ("azurerm_policy_", &[Iam]),
    ("azurerm_management_lock", &[Iam]),
    ("azurerm_key_vault_access_policy", &[Iam, Encryption]),
    ("azurerm_key_vault", &[Encryption, Stateful]),
    ("azurerm_disk_encryption_set", &[Encryption]),
    ("azurerm_storage_account_customer_managed_key", &[Encryption]),
    ("azurerm_virtual_network", &[Network]),
    ("azurerm_subnet", &[Network]),
    ("azurerm_network_", &[Network]),
    ("azurerm_application_security_group", &[Network]),
    ("azurerm_firewall", &[Network]),
    ("azurerm_route", &[Network]),
    ("azurerm_public_ip", &[Network]),
    ("azurerm_lb", &[Network]),
    ("azurerm_application_gateway", &[Network]),
    ("azurerm_frontdoor", &[Network]),
    ("azurerm_cdn_", &[Network]),
    ("azurerm_private_", &[Network]),
    ("azurerm_dns_", &[Network]),
    ("azurerm_nat_gateway", &[Network]),
    ("azurerm_vpn_", &[Network]),
    ("azurerm_express_route", &[Network]),
    ("azurerm_bastion_host", &[Network]),
    ("azurerm_web_application_firewall", &[Network]),
    ("azurerm_mssql_firewall_rule", &[Network, Stateful]),
    ("azurerm_mssql_", &[Stateful]),
    ("azurerm_postgresql_", &[Stateful]),
    ("azurerm_mysql_", &[Stateful]),
    ("azurerm_mariadb_", &[Stateful]),
    ("azurerm_cosmosdb_", &[Stateful]),
    ("azurerm_redis_", &[Stateful]),
    ("azurerm_storage_", &[Stateful]),
    ("azurerm_managed_disk", &[Stateful]),
    ("azurerm_snapshot", &[Stateful]),
    ("azurerm_servicebus_", &[Stateful]),
    ("azurerm_eventhub", &[Stateful]),
    ("azurerm_netapp_", &[Stateful]),
    ("azurerm_recovery_services_", &[Stateful]),
    ("azurerm_container_registry", &[Stateful]),
    // With everything that is in it.
    ("azurerm_resource_group", &[Stateful]),
    ("azurerm_linux_", &[]),
    ("azurerm_windows_", &[]),
    ("azurerm_kubernetes_", &[]),
    ("azurerm_container_", &[]),
    ("azurerm_app_service", &[]),
    ("azurerm_service_plan", &[]),
    ("azurerm_monitor_", &[]),
    ("azurerm_application_insights", &[]),
];

const KUBERNETES: &[Row] = &[
    ("kubernetes_role", &[Iam]),
    ("kubernetes_cluster_role", &[Iam]),
    ("kubernetes_service_account", &[Iam]),
    ("kubernetes_secret", &[Encryption]),
    ("kubernetes_network_policy", &[Network]),
    ("kubernetes_ingress", &[Network]),
    ("kubernetes_service", &[Network]),
    ("kubernetes_endpoint", &[Network]),
    ("kubernetes_stateful_set", &[Stateful]),
    ("kubernetes_persistent_volume", &[Stateful]),
    ("kubernetes_storage_class", &[Stateful]),
    // With everything that is in it.
    ("kubernetes_namespace", &[Stateful]),
    ("kubernetes_deployment", &[]),
    ("kubernetes_daemon", &[]),
    ("kubernetes_config_map", &[]),
    ("kubernetes_cron_job", &[]),
    ("kubernetes_job", &[]),
    ("kubernetes_pod", &[]),
    ("kubernetes_horizontal_pod_autoscaler", &[]),
    ("kubernetes_labels", &[]),
    ("kubernetes_annotations", &[]),
];

/// What a type is about, or `None` where nobody here knows.
pub(super) fn of(provider: &str, type_name: &str) -> Option<BTreeSet<Class>> {
    let name = ["registry.terraform.io/", "registry.opentofu.org/"]
        .iter()
        .find_map(|r| provider.strip_prefix(r))
        .unwrap_or(provider);
    let (_, rows) = PROVIDERS.iter().find(|(known, _)| *known == name)?;
    // Families of Google have a type for who may do what with each resource.
    let grants = ["_iam_member", "_iam_binding", "_iam_policy"].iter().any(|ending| type_name.ends_with(ending));
    let (_, classes) = rows.iter().find(|(prefix, _)| type_name.starts_with(prefix))?;
    Some(if grants { [Iam].into() } else { classes.iter().copied().collect() })
}

/// What the change of an attribute of this name is about, whatever it belongs to.
pub(super) fn of_attribute(name: &str) -> Option<Class> {
    match name {
        "assume_role_policy"
        | "policy"
        | "iam_policy"
        | "inline_policy"
        | "iam_instance_profile"
        | "execution_role_arn"
        | "task_role_arn"
        | "role"
        | "role_arn"
        | "service_account"
        | "service_account_name" => Some(Iam),
        "security_groups"
        | "security_group_ids"
        | "vpc_security_group_ids"
        | "ingress"
        | "egress"
        | "publicly_accessible"
        | "cidr_blocks"
        | "ip_restriction" => Some(Network),
        "kms_key_id"
        | "kms_key_arn"
        | "encrypted"
        | "storage_encrypted"
        | "encryption_configuration"
        | "server_side_encryption_configuration"
        | "disk_encryption_key"
        | "at_rest_encryption_enabled" => Some(Encryption),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_their_exceptions_are_told_apart() {
        let class = |provider: &str, name: &str| of(&format!("registry.opentofu.org/hashicorp/{provider}"), name);
        assert_eq!(class("aws", "aws_s3_bucket"), Some([Stateful].into()));
        assert_eq!(class("aws", "aws_s3_bucket_policy"), Some([Iam].into()));
        assert_eq!(class("google", "google_storage_bucket_iam_member"), Some([Iam].into()));
        assert_eq!(class("azurerm", "azurerm_key_vault_secret"), Some([Encryption, Stateful].into()));
        assert_eq!(class("kubernetes", "kubernetes_deployment_v1"), Some([].into()));
        assert_eq!(class("aws", "aws_thing_of_next_year"), None);
        assert_eq!(class("helm", "helm_release"), None, "a chart may hold anything");
        assert_eq!(of("terraform.io/builtin/terraform", "terraform_data"), Some([].into()));
    }

    #[test]
    fn no_prefix_is_hidden_behind_a_shorter_one() {
        for (provider, rows) in PROVIDERS {
            for (i, (prefix, _)) in rows.iter().enumerate() {
                let hidden = rows[..i].iter().find(|(earlier, _)| prefix.starts_with(earlier));
                assert_eq!(hidden, None, "{provider}: {prefix}");
            }
        }
    }
}
