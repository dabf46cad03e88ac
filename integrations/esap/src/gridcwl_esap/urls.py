"""``path("esap-api/gridcwl/", include("gridcwl_esap.urls"))``."""

from django.urls import path

from gridcwl_esap import views

urlpatterns = [
    path("jobs", views.Jobs.as_view(), name="gridcwl-jobs"),
    path("jobs/<str:job>", views.Job.as_view(), name="gridcwl-job"),
    path("jobs/<str:job>/results", views.Results.as_view(), name="gridcwl-results"),
    path("capacity", views.Capacity.as_view(), name="gridcwl-capacity"),
]
